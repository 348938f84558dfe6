using System;
using System.Text.RegularExpressions;

namespace Tokencache.Conformance;

/// <summary>What .NET makes of a status, back to its name.</summary>
internal static partial class Statuses
{
    public const string Ok = "OK";
    public const string NotFound = "NOT_FOUND";
    public const string Degraded = "DEGRADED";
    public const string Conflict = "CONFLICT";
    public const string BufferTooSmall = "BUFFER_TOO_SMALL";

    public static string? Of(Exception failure) => failure switch
    {
        TokenCacheException it => Name(it.Status),
        ObjectDisposedException => Name(TokenCacheStatus.InvalidHandle),
        ArgumentException => Name(TokenCacheStatus.InvalidArgument),
        _ => null,
    };

    public static string Name(TokenCacheStatus status) =>
        BeforeCapital().Replace(status.ToString(), "_").ToUpperInvariant();

    [GeneratedRegex("(?<!^)(?=[A-Z])")]
    private static partial Regex BeforeCapital();
}
