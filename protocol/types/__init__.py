"""Every record that the network sends, stores or signs, one module a concept, and every id (`ids`).

Any module may be imported from outside. A record is declared once: its fields with their types are its encoding.
Classes are named as in protocol 03-encoding-and-types, section 4. `text` and `address` are how people write ids.
"""
