# Helpers of configure.ac.

# TIDE_SWITCH(name, default, help)
# --enable-<name> or --disable-<name>.  Sets enable_<name> to yes or no and
# refuses any other value.
AC_DEFUN([TIDE_SWITCH], [dnl
AC_ARG_ENABLE([$1], [AS_HELP_STRING(m4_if([$2], [yes], [[--disable-$1]], [[--enable-$1]]), [$3])],
  [], [AS_TR_SH([enable_$1])=$2])
AS_CASE([$AS_TR_SH([enable_$1])],
  [yes|no], [],
  [AC_MSG_ERROR([--enable-$1 takes yes or no, not "$AS_TR_SH([enable_$1])"])])dnl
])

# TIDE_DEFINE_SWITCH(macro, condition, what it means)
# Defines macro in config.h as 1 if the shell condition holds, as 0 if not:
# the sources test its value, so that a misspelt name is a warning.
AC_DEFUN([TIDE_DEFINE_SWITCH], [dnl
AS_IF([$2], [tide_value=1], [tide_value=0])
AC_DEFINE_UNQUOTED([$1], [$tide_value], [$3])dnl
])

# TIDE_ADD_FLAGS(variable, flags)
# Appends each of the C compiler flags that the compiler takes silently.
AC_DEFUN([TIDE_ADD_FLAGS], [dnl
for tide_flag in $2; do
  AC_MSG_CHECKING([whether $CC takes $tide_flag])
  tide_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $tide_flag"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
    [AC_MSG_RESULT([yes])
     $1="$$1 $tide_flag"],
    [AC_MSG_RESULT([no])])
  CFLAGS=$tide_saved_CFLAGS
done[]dnl
])

# TIDE_SONAME(variable, fallback)
# The variable holds the path of a shared library, and then the name by which
# programs load it; the fallback if that can't be told.
AC_DEFUN([TIDE_SONAME], [dnl
AC_CHECK_TOOL([OBJDUMP], [objdump], [:])
AC_MSG_CHECKING([by what name $2 is loaded])
$1=$($OBJDUMP -p "$$1" 2>/dev/null | sed -n 's/^ *SONAME  *//p')
AS_IF([test -z "$$1"], [$1=$2])
AC_MSG_RESULT([$$1])dnl
])
