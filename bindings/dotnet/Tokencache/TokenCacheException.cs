using System;

namespace Tokencache;

/// <summary>A call failed. <see cref="Status"/> says why in a word, the message in a sentence without secrets.</summary>
/// <example>
/// <code>
/// catch (TokenCacheException e) when (e.Status == TokenCacheStatus.L2Busy) { … }
/// </code>
/// </example>
public sealed class TokenCacheException : Exception
{
    /// <summary>Makes the exception for a status.</summary>
    /// <param name="status">Why the call failed.</param>
    /// <param name="message">Why, as a sentence.</param>
    public TokenCacheException(TokenCacheStatus status, string message)
        : base(message) => Status = status;

    /// <summary>
    /// Why the call failed. A library that is newer than this assembly may say a number that has no name here.
    /// </summary>
    public TokenCacheStatus Status { get; }
}
