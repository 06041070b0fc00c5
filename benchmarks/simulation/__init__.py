"""How long may a request wait for its due time?"""
