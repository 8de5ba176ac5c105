"""The bootstrap fallback: beacon and active set of an epoch as they are published, for when consensus has none.

From outside: `machine.BootstrapMachine`, which asks for documents and takes what they say; `document`, which reads
them and names their files; `tables`. How documents are got is a port's matter. Protocol 04b, section 1.8, and
03b-config-and-genesis, section 6.
"""
