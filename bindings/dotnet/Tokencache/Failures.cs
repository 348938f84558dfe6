using System;
using System.Diagnostics.CodeAnalysis;

namespace Tokencache;

/// <summary>Statuses of the library as exceptions.</summary>
internal static unsafe class Failures
{
    /// <summary>Throws when a call of this thread has just failed.</summary>
    public static void Check(Native.Status status)
    {
        if (status < 0)
        {
            Throw(status);
        }
    }

    [DoesNotReturn]
    public static void Throw(Native.Status status) => throw Last(status);

    /// <summary>The exception for a call of this thread that has just failed.</summary>
    public static Exception Last(Native.Status status) => From(status, Text.FromNul(Native.tc_last_error()));

    public static Exception From(Native.Status status, string message)
    {
        if (message.Length == 0)
        {
            message = Text.FromNul(Native.tc_status_name((int)status));
        }
        return status is Native.Status.InvalidHandle or Native.Status.Closed
            ? new ObjectDisposedException(nameof(TokenCache), message)
            : new TokenCacheException((TokenCacheStatus)status, message);
    }
}
