using System;
using Microsoft.Extensions.Logging;

namespace Tokencache.Identity.Web;

/// <summary>What the provider logs. Keys are not in it: they name people.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 1, Level = LogLevel.Warning, Message = "Cached tokens could not be read ({Status}); MSAL asks the identity provider.")]
    public static partial void NotRead(ILogger logger, TokenCacheStatus status, Exception reason);

    [LoggerMessage(EventId = 2, Level = LogLevel.Error, Message = "Fetched tokens could not be cached ({Status}); the next request fetches them again.")]
    public static partial void NotWritten(ILogger logger, TokenCacheStatus status, Exception? reason);

    [LoggerMessage(EventId = 3, Level = LogLevel.Error, Message = "MSAL does not understand what is cached ({Code}); remove the entry.")]
    public static partial void NotUnderstood(ILogger logger, string code, Exception reason);

    [LoggerMessage(EventId = 4, Level = LogLevel.Debug, Message = "Another server was faster, or L2 is away; our tokens are merged with what is there.")]
    public static partial void Merged(ILogger logger);
}
