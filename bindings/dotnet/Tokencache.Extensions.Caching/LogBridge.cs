using System;
using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Tokencache.Extensions.Caching;

/// <summary>What the library logs, to the loggers of the application: category <c>Tokencache.</c> and the room that speaks.</summary>
/// <remarks>
/// Keys in these records are hashes, unless <c>logging.keys</c> says <c>clear</c>. The least urgent level that is asked
/// of the library is what the category <c>Tokencache</c> lets through when the cache is opened. Services without logging
/// leave it to <c>logging.to</c>.
/// </remarks>
internal sealed partial class LogBridge
{
    private readonly ILoggerFactory _factory;
    private readonly bool _isGiven;
    private readonly ILogger _own;
    private readonly ConcurrentDictionary<string, ILogger> _loggers = new(StringComparer.Ordinal);

    /// <param name="factory">That of the services; null where there is none.</param>
    public LogBridge(ILoggerFactory? factory)
    {
        _factory = factory ?? NullLoggerFactory.Instance;
        _isGiven = factory is not null;
        _own = _factory.CreateLogger("Tokencache");
    }

    public void Attach(TokenCache cache)
    {
        cache.CallbackFailed += (_, failure) => CallbackFailed(_own, failure.Exception);
        if (_isGiven)
        {
            // Also where nothing is let through, for without a handler the library would write to standard error.
            cache.OnLog(Write, Least());
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

    private TokenCacheLogLevel Least()
    {
        TokenCacheLogLevel level = TokenCacheLogLevel.Debug;
        while (level > TokenCacheLogLevel.Error && !_own.IsEnabled(Weight(level)))
        {
            level--;
        }
        return level;
    }
}
