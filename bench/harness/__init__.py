"""The benchmark harness: what bench/bench runs.

Lowest first; a module imports only from those above it in this list:
    figures      medians, spreads, ratios: arithmetic only
    states       sorts probe results into the machine's states
    records      the allocators, cells and runs, as they stand in the results
    machine      what the machine is, and who used its CPUs
    allocators   the table of allocators, and which of them are here
    programs     starts one run through launch and reads what it prints
    progress     one line that tells how far it is
    matrix       the rounds: which run comes next, which one is repeated
    analysis     rows of the tables: comparable runs, ratios, summary
    digest       what the tables show, for results.json
    counts       exact counts of synchronising instructions, under valgrind
    store        files of bench-results/
    page         small helpers that write HTML
    plots        gnuplot
    sections     of the page: groups of workloads, noise, how to read it
    model        what the counts mean on machines with more cores: a section, too
    report       the HTML page
    compare      do two results agree?
    main         the command line
    replaying    the command line of bench/replay
Only Debian's python3 and its standard library.
"""
