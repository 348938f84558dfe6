using System;

namespace Tokencache;

/// <summary>What is done after a failed attempt at L2.</summary>
public readonly record struct RetryDecision
{
    private RetryDecision(Native.Decision kind, uint? delayMs)
    {
        Kind = kind;
        DelayMs = delayMs;
    }

    /// <summary>Follow <c>resilience</c> in the configuration.</summary>
    public static RetryDecision Default => default;

    /// <summary>Fail the call now.</summary>
    public static RetryDecision GiveUp => new(Native.Decision.GiveUp, null);

    internal Native.Decision Kind { get; }

    internal uint? DelayMs { get; }

    /// <summary>Try again after the configured pause, within <c>resilience.max_attempts</c> and the deadline.</summary>
    /// <returns>The decision.</returns>
    public static RetryDecision Retry() => new(Native.Decision.Retry, null);

    /// <summary>Try again after a pause, within <c>resilience.max_attempts</c> and the deadline.</summary>
    /// <param name="delay">The pause, in whole milliseconds.</param>
    /// <returns>The decision.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="delay"/> is below zero.</exception>
    public static RetryDecision Retry(TimeSpan delay) =>
        new(Native.Decision.Retry, Times.Wait(delay, nameof(delay)));
}
