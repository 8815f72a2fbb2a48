# Tests of the source tree and of the built files.  To add one, add its name.
tools_scripts = \
	test/tools/test_dependencies.sh \
	test/tools/test_exported_symbols.sh \
	test/tools/test_fast_path.sh \
	test/tools/test_headers_alone.sh \
	test/tools/test_workloads.sh

dist_check_SCRIPTS += $(tools_scripts)
TESTS += $(tools_scripts)

EXTRA_DIST += test/tools/dependencies.py test/tools/fast_path_instructions
