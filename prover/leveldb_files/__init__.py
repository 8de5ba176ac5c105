"""Whether the files of a LevelDB directory are whole, read by themselves, without opening the database.

LevelDB is lenient where it reads its logs: a damaged length at the end, or a run of zeros, and it goes on without what
follows. Here nothing is passed over. `check.quick` reads what decides over the state at the next opening, `check.full`
every byte. Knows nothing of what the keys and values mean.
"""
