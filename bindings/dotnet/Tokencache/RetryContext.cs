using System;

namespace Tokencache;

/// <summary>A failed attempt at L2. It may be kept; a test of a handler can make one.</summary>
public sealed class RetryContext
{
    /// <summary>What was asked of L2.</summary>
    public TokenCacheOperation Operation { get; init; }

    /// <summary>Why it failed.</summary>
    public TokenCacheStatus Status { get; init; }

    /// <summary>The cache key; empty when the operation has none.</summary>
    public ReadOnlyMemory<byte> Key { get; init; }

    /// <summary>1 for the first try.</summary>
    public int Attempt { get; init; }

    /// <summary><c>resilience.max_attempts</c>, which a handler cannot exceed.</summary>
    public int MaxAttempts { get; init; }

    /// <summary>The time since the call began.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>The time until <c>resilience.deadline_ms</c> ends the call.</summary>
    public TimeSpan Remaining { get; init; }

    /// <summary>The pause before the next attempt, if the handler does not say otherwise.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Why it failed, as a sentence.</summary>
    public string Message { get; init; } = string.Empty;

    internal static unsafe RetryContext From(in Native.Failure failure, uint delayMs) => new()
    {
        Operation = (TokenCacheOperation)failure.Operation,
        Status = (TokenCacheStatus)failure.Status,
        Key = new ReadOnlySpan<byte>((void*)failure.Key, checked((int)failure.KeyLen)).ToArray(),
        Attempt = (int)failure.Attempt,
        MaxAttempts = (int)failure.MaxAttempts,
        Elapsed = TimeSpan.FromMilliseconds(failure.ElapsedMs),
        Remaining = TimeSpan.FromMilliseconds(failure.RemainingMs),
        Delay = TimeSpan.FromMilliseconds(delayMs),
        Message = Text.FromNul(failure.Message),
    };
}
