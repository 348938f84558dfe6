using System;
using System.Globalization;

namespace Tokencache.Benches;

/// <summary>The table: each bar beside its figure, and whether it is met. Bars are those of the lab's comparison of peers.</summary>
internal sealed class Bars
{
    public int Met { get; private set; }

    public int Missed { get; private set; }

    public static void Heading(string text) => Console.WriteLine($"\n{text}");

    /// <summary>A ratio that must not be larger.</summary>
    public void AtMost(Rounds rounds, string what, string row, string other, double bar)
    {
        (double median, double low, double high) = rounds.Ratio(row, other);
        Line(what, $"≤ {Short(bar)}", Short(median), median <= bar, $"{Short(low)} … {Short(high)}; {Ns(rounds.Ns(row))} beside {Ns(rounds.Ns(other))}");
    }

    /// <summary>How many times faster it must be.</summary>
    public void Faster(Rounds rounds, string what, string row, string other, double bar)
    {
        (double median, double low, double high) = rounds.Ratio(other, row);
        Line(what, $"≥ {Short(bar)} ×", $"{Short(median)} ×", median >= bar, $"{Short(low)} … {Short(high)}; {Ns(rounds.Ns(row))} beside {Ns(rounds.Ns(other))}");
    }

    /// <summary>A count.</summary>
    public void Count(string what, double most, double figure, string remark = "") =>
        Line(what, most == 0 ? "0" : $"≤ {Short(most)}", Short(figure), figure <= most, remark);

    public static void Remark(string what, string figure) => Console.WriteLine($"  {what,-64}{string.Empty,-10}{figure}");

    public static string Ns(double ns) => ns < 10_000 ? $"{Short(ns)} ns" : $"{Short(ns / 1000)} µs";

    private void Line(string what, string bar, string figure, bool isMet, string remark)
    {
        Met += isMet ? 1 : 0;
        Missed += isMet ? 0 : 1;
        Console.WriteLine($"  {what,-64}{bar,-10}{figure,-10}{(isMet ? "met" : "missed"),-8}{remark}");
    }

    private static string Short(double figure) => figure.ToString(figure >= 100 ? "F0" : "G3", CultureInfo.InvariantCulture);
}
