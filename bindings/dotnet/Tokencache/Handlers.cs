namespace Tokencache;

/// <summary>Decides what is done after a failed attempt at L2. Runs on threads of the library, several at once.</summary>
/// <param name="context">The failed attempt.</param>
/// <returns>What to do; <see cref="RetryDecision.Default"/> follows the configuration.</returns>
public delegate RetryDecision RetryHandler(RetryContext context);

/// <summary>Receives a log record, on a thread of the library that does nothing else.</summary>
/// <param name="level">Its weight.</param>
/// <param name="target">The part of the library that speaks.</param>
/// <param name="message">What it says.</param>
public delegate void LogHandler(TokenCacheLogLevel level, string target, string message);
