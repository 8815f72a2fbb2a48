# The work of perl.py: ROUNDS rounds of hashes, regular expressions, strings and sorting; prints one JSON object.
# usage: perl work_perl.pl ROUNDS
# Every round has the same digest; another one ends the program with status 1.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $DIGEST = '89d3362bcb0182f417656a3f4469f134';
my $LINES = 4000;

# A linear congruential generator, so that the text is the same everywhere.
sub text {
    my $state = 12345;
    my $next = sub { $state = ($state * 1103515245 + 12345) % 2147483648; return $state >> 8 };
    my @words = map { my $word = ''; $word .= chr(97 + $next->() % 26) for 1 .. 3 + $next->() % 9; $word } 1 .. 1500;
    return join "\n", map {
        my $line = $_;
        join ' ', "$line:", map { $words[$next->() % @words] } 1 .. 4 + $next->() % 20
    } 1 .. $LINES;
}

sub round {
    my ($text) = @_;
    my (%count, %lines, @records);
    for my $line (split /\n/, $text) {
        my ($number, $rest) = $line =~ /^(\d+): (.*)$/ or die "a wrong line: $line";
        my @words = split / /, $rest;
        $count{$_}++ for @words;
        push @{ $lines{$words[0]} }, $number;
        push @records, { number => $number, words => \@words, key => join('-', reverse @words[0 .. 2]) };
    }
    my @often = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    my @sorted = sort { $a->{key} cmp $b->{key} || $a->{number} <=> $b->{number} } @records;
    (my $changed = $text) =~ s/([aeiou])([a-z]+)/uc($2) . $1 x 2/ge;
    my %index;
    while ($changed =~ /([A-Z]{3,})/g) { $index{$1} .= pos($changed) . ',' }
    delete @index{ grep { length($index{$_}) % 3 } keys %index };
    return md5_hex(join '|', @often[0 .. 99], (map { $_->{key} } @sorted), length $changed,
        (map { "$_=$index{$_}" } sort keys %index), map { "$_:@{$lines{$_}}" } sort keys %lines);
}

my $rounds = shift // die "usage: work_perl.pl ROUNDS\n";
my $text = text();
my $started = clock_gettime(CLOCK_MONOTONIC);
for (1 .. $rounds) {
    my $digest = round($text);
    die "work_perl.pl: wrong digest $digest\n" if $digest ne $DIGEST;
}
my $seconds = clock_gettime(CLOCK_MONOTONIC) - $started;
undef $text;
open my $file, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
my ($resident) = join('', <$file>) =~ /^VmRSS:\s+(\d+) kB/m or die "no VmRSS\n";
printf qq({"operations": %d, "seconds": %.6f, "final_bytes": %d}\n), $rounds, $seconds, $resident * 1024;
