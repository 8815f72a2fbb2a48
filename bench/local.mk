# make demo: servers with and without tidepool, side by side.
EXTRA_DIST += bench/servers/demo.sh

demo: libtidepool.la
	LIB='$(abs_top_builddir)/.libs/libtidepool.so' $(srcdir)/bench/servers/demo.sh

.PHONY: demo
