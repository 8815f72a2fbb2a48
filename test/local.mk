# make check: every test is a program or a script that exits with 0 (passed),
# 77 (skipped, with the reason on stdout) or anything else (failed).
#
# In every test's environment:
#   TIDE_SRCDIR, TIDE_BUILDDIR  absolute paths of the source and the build
#   TIDE_LIB                    absolute path of the built libtidepool.so
#   TIDE_OVERRIDE               1 if the library defines malloc and the like, else 0
#   TIDE_GEOMETRY               server or classic
#   TIDE_SANITIZER              configure's list, or no
#   TIDE_TEST_SCALE             how much work long tests do, in percent [100]
#   CC, CXX, NM                 the tools of the build
AM_TESTS_ENVIRONMENT = \
	TIDE_SRCDIR='$(abs_top_srcdir)'; export TIDE_SRCDIR; \
	TIDE_BUILDDIR='$(abs_top_builddir)'; export TIDE_BUILDDIR; \
	TIDE_LIB='$(abs_top_builddir)/.libs/libtidepool.so'; export TIDE_LIB; \
	TIDE_OVERRIDE=$(TIDE_TEST_OVERRIDE); export TIDE_OVERRIDE; \
	TIDE_GEOMETRY='$(TIDE_GEOMETRY)'; export TIDE_GEOMETRY; \
	TIDE_SANITIZER='$(TIDE_SANITIZER)'; export TIDE_SANITIZER; \
	TIDE_TEST_SCALE="$${TIDE_TEST_SCALE:-100}"; export TIDE_TEST_SCALE; \
	CC='$(CC)'; export CC; \
	CXX='$(CXX)'; export CXX; \
	NM='$(NM)'; export NM;
# No SH_LOG_COMPILER: a script is executable and its first line says what runs it.
TEST_EXTENSIONS = .sh

# How test programs are linked, by what they have as _LDADD:
#   (none given)         the library's objects and Criterion    unit/
#   $(TIDE_CORE_LIBS)    the library's objects, own main        stress/
#   $(TIDE_SHARED_LIBS)  libtidepool.so; with $(TIDE_NO_WRAPPER) as _LDFLAGS
#                        the program can be run directly
#   (empty)              nothing of ours, to be run under LD_PRELOAD=$TIDE_LIB
LDADD = $(TIDE_CORE_LIBS) $(CRITERION_LIBS)
TIDE_CORE_LIBS = libtidepool-core.la
TIDE_SHARED_LIBS = libtidepool.la
TIDE_NO_WRAPPER = $(AM_LDFLAGS) -no-install
AM_CPPFLAGS += $(CRITERION_CFLAGS)

# Every program has the start, as one that links the library has.
AM_LDFLAGS += -Wl,-u,tide_api_start

# A program takes over malloc whole or not at all: asks for a symbol of each
# object in api/ that defines standard names.
if OVERRIDE
TIDE_TEST_OVERRIDE = 1
AM_LDFLAGS += \
	-Wl,-u,malloc -Wl,-u,realloc -Wl,-u,aligned_alloc \
	-Wl,-u,malloc_usable_size -Wl,-u,_Znwm
else
TIDE_TEST_OVERRIDE = 0
endif

include test/unit/local.mk
include test/stress/local.mk
include test/misuse/local.mk
include test/preload/local.mk
include test/tools/local.mk
