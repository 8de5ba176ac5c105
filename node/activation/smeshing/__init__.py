"""Smeshing: how an own identity comes to its activation of every epoch, by PoET, proof of space and publication.

`machine` is the machine; it has one `smesher` for each identity, which plans (`planning`), has its challenge registered
and proved (`nipost`), and publishes (`publishing`, of `build` and `merging`). They share the search for a positioning
activation (`positioning`, over `chain`) and the rounds of PoET servers (`rounds`). `times` are the moments of an epoch,
`tables` what is kept in the own store. Protocol 04, sections 3 and 6; 02-poet-client, section 6.
"""
