// The binding of .NET beside what else .NET has, in rounds in turn: each bar, its figure, met or missed.
//
//     benches/dotnet/run [--quick]
using System;
using System.Globalization;
using Tokencache.Benches;

if (args is [Limits.Growth, string threads])
{
    Limits.PrintGrowth(int.Parse(threads, CultureInfo.InvariantCulture));
    return;
}
bool isQuick = args is ["--quick"];
int rounds = isQuick ? 11 : 61, fewRounds = isQuick ? 7 : 31;
Bars bars = new();
Console.WriteLine($"Tokencache {Tokencache.TokenCache.LibraryVersion}, .NET {Environment.Version}, {Environment.ProcessorCount} cores; medians of {rounds} rounds, and the middle half of them");

Bars.Heading("1,000 entries, 1 thread");
using (Reads few = new(new Workload(1000)))
{
    Reads.Print(bars, few.Run(threads: 1, rounds), areMany: false);
    Bars.Heading("1,000 entries, 2 threads");
    Reads.PrintTwo(bars, few.Run(threads: 2, rounds));
}
if (!isQuick)
{
    Bars.Heading("100,000 entries, 1 thread");
    using Reads many = new(new Workload(100_000));
    Reads.Print(bars, many.Run(threads: 1, fewRounds, sliceMs: 20), areMany: true);
}
GC.Collect();
Bars.Heading("sets of 7,000 bytes");
Writes.Print(bars, fewRounds);
Bars.Heading("over Redis");
OverRedis.Print(bars, 1000, 600, fewRounds);
if (!isQuick)
{
    OverRedis.Print(bars, 100_000, 150, fewRounds);
}
Bars.Heading("two servers");
TwoServers.Print(bars, isQuick ? 500 : 4000, fewRounds);
Bars.Heading("a limit");
Limits.Print(bars);
Bars.Heading("allocations");
Allocations.Print(bars);
Console.WriteLine($"\n{bars.Met} met, {bars.Missed} missed");
