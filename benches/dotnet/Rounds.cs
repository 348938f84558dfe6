using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;

namespace Tokencache.Benches;

/// <summary>One operation on an entry; what it read goes into a sum, so that nothing is left out.</summary>
/// <remarks>A struct each, so that each has a loop of its own in machine code.</remarks>
internal interface ISubject
{
    int Run(int entry);
}

/// <summary>What is measured, and how long so many operations of it take from a place in the order on.</summary>
internal sealed record Row(string Name, Func<int, int, double> Time)
{
    public static Row Of<T>(string name, T subject, int[] order, int threads)
        where T : struct, ISubject => new(name, (from, count) => Loop.Time(subject, order, from, count, threads));
}

/// <summary>Rows in turns: every round runs each once, and ratios are taken inside the round.</summary>
internal sealed class Rounds
{
    private const int MostOperations = 1 << 18;

    private readonly Dictionary<string, double[]> _times;

    private Rounds(Dictionary<string, double[]> times) => _times = times;

    /// <summary>Runs them; each round begins with another row and at another place.</summary>
    public static Rounds Run(IReadOnlyList<Row> rows, int rounds, int sliceMs = 3)
    {
        int[] counts = Warm(rows, sliceMs);
        Dictionary<string, double[]> times = rows.ToDictionary(row => row.Name, _ => new double[rounds]);
        for (int round = 0; round < rounds; round++)
        {
            for (int turn = 0; turn < rows.Count; turn++)
            {
                int at = (round + turn) % rows.Count;
                times[rows[at].Name][round] = rows[at].Time(round * 7919, counts[at]) / counts[at];
            }
        }
        return new(times);
    }

    /// <summary>Nanoseconds of an operation.</summary>
    public double Ns(string row) => Quantile(_times[row], 0.5);

    /// <summary>How often one is as long as another: the median over the rounds, and what lies in the middle half.</summary>
    public (double Median, double Low, double High) Ratio(string row, string other)
    {
        double[] ratios = [.. _times[row].Zip(_times[other], (one, two) => one / two)];
        return (Quantile(ratios, 0.5), Quantile(ratios, 0.25), Quantile(ratios, 0.75));
    }

    public static double Quantile(double[] values, double part)
    {
        double[] ordered = [.. values.Order()];
        return ordered[(int)(part * (ordered.Length - 1))];
    }

    /// <summary>Many short calls with pauses, until the code is what it stays; then as many as fill a slice.</summary>
    private static int[] Warm(IReadOnlyList<Row> rows, int sliceMs)
    {
        double[] ns = [.. rows.Select(row => row.Time(0, 8) / 8)];
        for (int pause = 0; pause < 8; pause++)
        {
            for (int at = 0; at < rows.Count; at++)
            {
                int few = Math.Clamp((int)(100_000 / ns[at]), 8, 2048);
                ns[at] = Enumerable.Range(0, 40).Min(call => rows[at].Time(call * few, few) / few);
            }
            Thread.Sleep(200);
        }
        return [.. ns.Select(it => Math.Clamp((int)(sliceMs * 1e6 / it), 16, MostOperations))];
    }
}

/// <summary>The loops.</summary>
internal static class Loop
{
    private static int s_sum;

    /// <summary>Nanoseconds that each of the threads takes for so many operations, all at once.</summary>
    /// <remarks>An eighth of them before that, so that nobody pays for what the row before has left of the processor's caches.</remarks>
    public static double Time<T>(T subject, int[] order, int from, int count, int threads)
        where T : struct, ISubject
    {
        int again = count / 8;
        if (threads == 1)
        {
            s_sum += Slice(subject, order, from, again);
            long start = Stopwatch.GetTimestamp();
            s_sum += Slice(subject, order, from, count);
            return Stopwatch.GetElapsedTime(start).TotalNanoseconds;
        }
        using Barrier barrier = new(threads);
        double[] took = new double[threads];
        Thread[] others = [.. Enumerable.Range(0, threads).Select(number => new Thread(() =>
        {
            s_sum += Slice(subject, order, from + (number * 104_729), again);
            barrier.SignalAndWait();
            long start = Stopwatch.GetTimestamp();
            s_sum += Slice(subject, order, from + (number * 104_729), count);
            took[number] = Stopwatch.GetElapsedTime(start).TotalNanoseconds;
        }))];
        Array.ForEach(others, it => it.Start());
        Array.ForEach(others, it => it.Join());
        return took.Average();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Slice<T>(T subject, int[] order, int from, int count)
        where T : struct, ISubject
    {
        int sum = 0;
        for (int at = from; at < from + count; at++)
        {
            sum += subject.Run(order[at & (order.Length - 1)]);
        }
        return sum;
    }
}
