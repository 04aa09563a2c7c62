"""Gong, read through its public API: users, and calls with who was on them, which CRM records they belong to and how
often each tracker was heard.

What was said in a call is asked for only where the company switches transcripts on; a recording or summary never is.
"""
