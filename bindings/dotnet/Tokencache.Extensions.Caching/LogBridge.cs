using System;
using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Tokencache.Extensions.Caching;

/// <summary>What the library logs, to the loggers of the application: category <c>Tokencache.</c> and the room that speaks.</summary>
/// <remarks>
/// Keys in these records are hashes, unless <c>logging.keys</c> says <c>clear</c>. The least urgent level that is asked
/// of the library is what the category <c>Tokencache</c> lets through when the cache is opened.
/// </remarks>
internal sealed partial class LogBridge
{
    private readonly ILoggerFactory _factory;
    private readonly ILogger _own;
    private readonly ConcurrentDictionary<string, ILogger> _loggers = new(StringComparer.Ordinal);

    public LogBridge(ILoggerFactory factory)
    {
        _factory = factory;
        _own = factory.CreateLogger("Tokencache");
    }

    public void Attach(TokenCache cache)
    {
        cache.CallbackFailed += (_, failure) => CallbackFailed(_own, failure.Exception);
        if (Least() is { } least)
        {
            cache.OnLog(Write, least);
        }
    }

    public void Refused(Exception reason) => ConfigurationRefused(_own, reason.Message, reason);

    private static LogLevel Weight(TokenCacheLogLevel level) => level switch
    {
        TokenCacheLogLevel.Error => LogLevel.Error,
        TokenCacheLogLevel.Warning => LogLevel.Warning,
        TokenCacheLogLevel.Information => LogLevel.Information,
        _ => LogLevel.Debug,
    };

    [LoggerMessage(EventId = 1, EventName = "LibrarySaid", Message = "{Message}")]
    private static partial void Said(ILogger logger, LogLevel level, string message);

    [LoggerMessage(EventId = 2, Level = LogLevel.Error, Message = "A callback of the application threw; what the library asked is decided by its configuration.")]
    private static partial void CallbackFailed(ILogger logger, Exception reason);

    [LoggerMessage(EventId = 3, Level = LogLevel.Error, Message = "A changed configuration was refused, and the running one stands: {Reason}")]
    private static partial void ConfigurationRefused(ILogger logger, string reason, Exception exception);

    private void Write(TokenCacheLogLevel level, string target, string message)
    {
        ILogger logger = _loggers.GetOrAdd(target, it => _factory.CreateLogger("Tokencache." + it));
        LogLevel weight = Weight(level);
        if (logger.IsEnabled(weight))
        {
            Said(logger, weight, message);
        }
    }

    private TokenCacheLogLevel? Least()
    {
        for (TokenCacheLogLevel level = TokenCacheLogLevel.Debug; level >= TokenCacheLogLevel.Error; level--)
        {
            if (_own.IsEnabled(Weight(level)))
            {
                return level;
            }
        }
        return null;
    }
}
