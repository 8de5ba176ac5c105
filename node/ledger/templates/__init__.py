"""What every account is made of, one module each; `template` has what they share, `node.ledger.rules` who is known."""
