using System;
using System.Threading;

namespace Tokencache;

/// <summary>The times of .NET as the milliseconds of the library.</summary>
internal static class Times
{
    private static readonly long s_last = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Zero, the configured default, for null.</summary>
    public static long Lifetime(TimeSpan? lifetime, string name) =>
        lifetime == Timeout.InfiniteTimeSpan ? Native.Never : Window(lifetime, name);

    public static long Window(TimeSpan? window, string name)
    {
        if (window is not { } given)
        {
            return 0;
        }
        if (given <= TimeSpan.Zero)
        {
            // Zero is the library's word for the default, and a caller who computed it means something else.
            throw new ArgumentOutOfRangeException(
                name, given, $"{name} must be above zero; leave it out for the configured default.");
        }
        return Math.Max(given.Ticks / TimeSpan.TicksPerMillisecond, 1);
    }

    /// <summary>Zero, no limit, for null. What is before 1970 is as over as 1970.</summary>
    public static long Moment(DateTimeOffset? moment) =>
        moment is { } given ? Math.Max(given.ToUnixTimeMilliseconds(), 1) : 0;

    /// <summary>Null for zero.</summary>
    public static DateTimeOffset? Moment(long unixMs) =>
        unixMs == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(Math.Min(unixMs, s_last));

    /// <summary>A wait, within what the library can count, which is 49 days.</summary>
    public static uint Wait(TimeSpan wait, string name) => wait < TimeSpan.Zero
        ? throw new ArgumentOutOfRangeException(name, wait, $"{name} must not be below zero.")
        : (uint)Math.Min(wait.Ticks / TimeSpan.TicksPerMillisecond, uint.MaxValue);
}
