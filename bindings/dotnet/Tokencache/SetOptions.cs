using System;
using System.Threading;

namespace Tokencache;

/// <summary>
/// How to store an entry. What is left out follows <c>expiry</c> in the configuration; of several limits the earliest
/// holds.
/// </summary>
public readonly record struct SetOptions
{
    /// <summary>
    /// How long the entry lives from now, in whole milliseconds; <see cref="Timeout.InfiniteTimeSpan"/> keeps it until
    /// it is removed or evicted. Must be above zero.
    /// </summary>
    public TimeSpan? TimeToLive { get; init; }

    /// <summary>When the entry ends. A moment that is past removes the entry.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>A window that every read renews, in whole milliseconds. Must be above zero.</summary>
    public TimeSpan? Sliding { get; init; }

    /// <summary>
    /// Keep the entry in this process, off L2. It hides L2's entry of that key here until it is removed, expires, is
    /// evicted, or is set without this. An expected version is then compared with the local entry alone.
    /// </summary>
    public bool LocalOnly { get; init; }

    /// <summary>The library's form, for a write over <paramref name="expectedVersion"/>, or over anything for 0.</summary>
    internal unsafe Native.SetOptions ToNative(ulong expectedVersion) => new()
    {
        StructSize = (UIntPtr)sizeof(Native.SetOptions),
        TtlMs = Times.Lifetime(TimeToLive, nameof(TimeToLive)),
        ExpiresAtMs = Times.Moment(ExpiresAt),
        SlidingMs = Times.Window(Sliding, nameof(Sliding)),
        ExpectedVersion = expectedVersion,
        Flags = LocalOnly ? Native.LocalOnly : 0,
    };
}
