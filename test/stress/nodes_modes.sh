#!/bin/sh
# Stress programs on a machine whose every CPU seems to be on a memory node of
# its own: threads move between nodes all the time, forks come while nodes are
# found out about, and heaps are adopted across them.
folder=${0%/*}
HWLOC_SYNTHETIC='node:4 core:1 pu:1'
TIDEPOOL_PLUGIN_DIR=${TIDE_BUILDDIR:-.}/.libs
export HWLOC_SYNTHETIC TIDEPOOL_PLUGIN_DIR
if [ ! -e "$TIDEPOOL_PLUGIN_DIR/libtidepool-hwloc.so" ]; then
    echo "no plug-in was built (configured --without-hwloc)"
    exit 77
fi
failed=0
for program in fork_storm hand_around mmap_failure thread_churn; do
    TIDE_TEST_SCALE=$((${TIDE_TEST_SCALE:-100} > 4 ? ${TIDE_TEST_SCALE:-100} / 4 : 1)) \
        "${SHELL:-/bin/sh}" "$folder/run_modes.sh" $program
    case $? in
    0 | 77) ;; # 77: it has told why it can't be run
    *) failed=1 ;;
    esac
done
exit $failed
