"""Every record that the network sends, stores or signs: one module a concept, its codec next to its fields.

Any module may be imported from outside. Classes are named as in protocol 03-encoding-and-types, section 4.
"""
