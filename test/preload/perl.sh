#!/bin/bash
# perl under the library: hashes, regular expressions, sorts, string growth and forks with answers through
# pipes; the output must equal that of a run without the library.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need perl perl
need_override

cat >"$tmp/work.pl" <<'END'
use strict; use warnings;
my ($library) = @ARGV;
sub check_library {
	return unless $library;
	open my $maps, '<', '/proc/self/maps' or die;
	die "the library is not in use\n" unless grep { index($_, $library) >= 0 } <$maps>;
}
sub checksum { unpack '%32C*', $_[0] }
check_library();
my $state = 12345;
sub random { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return $state % $_[0]; }

my %h;
for my $i (1 .. 150000) {
	my $key = 'key' . random(40000);
	if (random(3) == 0) { delete $h{$key} } else { push @{$h{$key}}, 'v' x random(60) }
}
print scalar(keys %h), ' keys, ', checksum(join ',', map { "$_=" . scalar @{$h{$_}} } sort keys %h), "\n";
my @by_size = sort { @{$h{$b}} <=> @{$h{$a}} || $a cmp $b } keys %h;
print "longest lists: @by_size[0 .. 9]\n";

my $text = join ' ', map { $_ . ('ab' x random(9)) } 1 .. 60000;
my %count; $count{length $1}++ while $text =~ /(\d+(?:ab){2,5})\b/g;
print join(', ', map { "$_: $count{$_}" } sort { $a <=> $b } keys %count), "\n";
(my $swapped = $text) =~ s/(\d)((?:ab)+)/$2$1/g;
print length($swapped), ' ', checksum($swapped), "\n";
print join('|', (split /a+/, $text)[1000 .. 1010]), "\n";

my $grown = '';
$grown .= chr(65 + $_ % 26) x ($_ % 97) for 1 .. 100000;
print length($grown), ' ', checksum($grown), "\n";
my @numbers = map { random(1 << 30) } 1 .. 100000;
print join(' ', (sort { $a <=> $b } @numbers)[0, 50000, 99999]), "\n";

for my $n (1 .. 30) {
	pipe(my $reader, my $writer) or die;
	my $child = fork // die "fork: $!";
	if (!$child) {
		check_library();
		my %mine = map { $_ * $n => 'w' x ($_ % 50) } 1 .. 3000;
		delete $h{$_} for @by_size[0 .. 1000];
		print $writer join(' ', scalar(keys %mine), scalar(keys %h), checksum(join '', sort values %mine)), "\n";
		close $writer;
		exit 0;
	}
	close $writer;
	print "child $n: ", scalar <$reader>;
	waitpid $child, 0;
	die "child $n failed\n" if $?;
}
print "end\n";
END

run plain perl "$tmp/work.pl"
equal "last line" "$(tail -n 1 "$tmp/plain.out")" end
run_preloaded perl perl "$tmp/work.pl" "$TIDE_LIB"
same_file "output of perl" "$tmp/perl.out" "$tmp/plain.out"
