"""Words that names of people and companies are made of. Nothing else."""

# fmt: off
FIRST_NAMES = [
    "Ada", "Alan", "Amara", "Anders", "Anika", "Arjun", "Beatriz", "Bruno", "Carmen", "Chidi", "Clara",
    "Daniel", "Deepa", "Diego", "Elena", "Elias", "Emeka", "Esther", "Farah", "Felix", "Fiona", "Gabriel",
    "Grace", "Hana", "Hugo", "Ines", "Isaac", "Ivan", "Jonas", "Julia", "Kai", "Karim", "Keiko", "Lars",
    "Leila", "Liam", "Lucia", "Mads", "Maria", "Marta", "Mei", "Milan", "Nadia", "Nils", "Noor", "Olga", "Omar",
    "Oscar", "Paula", "Petra", "Priya", "Rafael", "Rosa", "Ruth", "Samir", "Sofia", "Tariq", "Thea", "Tomas",
    "Uma", "Vera", "Viktor", "Wanda", "Yara", "Yusuf", "Zoe",
]
LAST_NAMES = [
    "Abara", "Almeida", "Andersson", "Bauer", "Becker", "Bianchi", "Brandt", "Castillo", "Chen", "Costa",
    "Dahl", "Das", "Dubois", "Eriksen", "Fischer", "Fofana", "Garcia", "Grant", "Gupta", "Haddad", "Hansen",
    "Hughes", "Ibarra", "Ito", "Jensen", "Kaur", "Keller", "Khan", "Kim", "Kowalski", "Laurent", "Lindgren",
    "Lopez", "Marino", "Mbeki", "Mendes", "Meyer", "Moreau", "Murphy", "Nakamura", "Ncube", "Nguyen", "Novak",
    "Okafor", "Olsen", "Ortiz", "Park", "Patel", "Pereira", "Petrov", "Quinn", "Rahman", "Reyes", "Ricci",
    "Rossi", "Sato", "Schmidt", "Silva", "Singh", "Sousa", "Tanaka", "Torres", "Vargas", "Vogel", "Walsh",
    "Weber", "Wolf", "Yilmaz", "Zhang", "Zimmer",
]
NAME_HEADS = [
    "Amber", "Apex", "Aspen", "Atlas", "Aurora", "Beacon", "Birch", "Bright", "Cedar", "Clear", "Cobalt",
    "Copper", "Coral", "Crest", "Delta", "Ember", "Falcon", "Fern", "Flint", "Forge", "Garnet", "Glacier",
    "Golden", "Granite", "Harbor", "Hazel", "Heron", "Indigo", "Iron", "Ivory", "Jade", "Juniper", "Lark",
    "Laurel", "Lunar", "Maple", "Meadow", "North", "Oak", "Onyx", "Orchid", "Pine", "Quartz", "Raven", "Ridge",
    "River", "Sage", "Silver", "Solar", "Stone", "Summit", "Timber", "Velvet", "Willow", "Zephyr",
]
NAME_MIDDLES = [
    "bridge", "brook", "dale", "field", "gate", "grove", "haven", "hill", "land", "line", "mark", "mill",
    "path", "peak", "point", "port", "reach", "shore", "side", "spring", "stead", "tide", "vale", "view",
    "ward", "water", "way", "wood", "works", "yard",
]
NAME_TAILS = [
    "Analytics", "Foods", "Freight", "Health", "Industries", "Insurance", "Labs", "Logistics", "Media",
    "Networks", "Partners", "Power", "Retail", "Robotics", "Software", "Supply", "Systems", "Textiles",
    "Travel", "Utilities",
]
# fmt: on
