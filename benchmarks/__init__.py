"""Measurements that anyone can run: ``make bench`` or ``python -m benchmarks [--quick] [TOPIC …]``.

A topic is a module with a function ``measure(scale) -> Topic``, which runs alone as well as with
the others. Its figures go to ``.benchmarks/TOPIC.json``; goals, tables and plots are made from
these files and from nothing else.

    children    a process for each contender, called in turn; what a block of code costs
    records     what a topic yields; medians and spread
    tei_server  the measuring server; `serving` starts it
    clients     those that embed: bare ones, peers with their defaults and their best, ours
    gateways    ours, bare pass-throughs, LiteLLM's proxy, each in a process of its own
    quality     how well chunks are found; of itself, on request, with `quality_*` and QUALITY.md
    goals       what was to be reached, and whether it was
    report      RESULTS.md, of `tables` and the pictures of `plots`
"""
