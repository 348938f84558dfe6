namespace Tokencache;

/// <summary>The weight of a log record; the lower, the more urgent.</summary>
public enum TokenCacheLogLevel
{
    /// <summary>Nothing. The library does not say this.</summary>
    None = 0,

    /// <summary>Something failed that somebody must look at.</summary>
    Error = Native.Level.Error,

    /// <summary>Something is not as it should be, and was dealt with.</summary>
    Warning = Native.Level.Warn,

    /// <summary>What happens rarely and is worth knowing.</summary>
    Information = Native.Level.Info,

    /// <summary>Every attempt.</summary>
    Debug = Native.Level.Debug,
}
