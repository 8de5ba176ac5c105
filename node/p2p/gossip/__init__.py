"""Gossip: how a message of one peer comes to all, without everybody sending everything (gossipsub 1.0 to 1.2).

| module | what |
|---|---|
| parameters | all numbers |
| rpc | what peers send each other, bytes to values and back |
| score | what each peer has shown itself to be worth |
| cache | messages that were seen, and those that others may still ask for |
| mesh | whom to take in and whom to part with, once a second |
| meshes | peers and their meshes |
| router | the machine that joins them |

Pure: time and randomness come in, what is to be sent and judged goes out. Protocol 09a, section 2.
"""
