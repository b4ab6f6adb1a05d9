"""Node and network proven before the engine loads: ``spec.preflight``.

Every pod of a group looks at itself (``local``, ``devices``), connects to all the others (``ports``) and starts one
process a rank that measures with torch (``measuring``, ``bandwidth``): that is its ``part``. What the launchers must
know of each other goes over ``/statusz`` (``report``); the leader says what is next and puts the results together
(``orders``, ``run``). ``gate`` is what the launcher's main loop asks.
"""
