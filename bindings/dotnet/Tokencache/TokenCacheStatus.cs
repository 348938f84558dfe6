namespace Tokencache;

/// <summary>How a call ended. Below zero it failed; above zero is an answer.</summary>
public enum TokenCacheStatus
{
    /// <summary>Done.</summary>
    Ok = Native.Status.Ok,

    /// <summary>There is no live entry: L1 does not have it and L2 was asked.</summary>
    NotFound = Native.Status.NotFound,

    /// <summary>The entry's version is not the expected one; nothing was written.</summary>
    Conflict = Native.Status.Conflict,

    /// <summary>Done without L2: a read that is unverified, a write that is owed to L2.</summary>
    Degraded = Native.Status.Degraded,

    /// <summary>An argument is impossible: an empty key, a key that is too long, a reserved key.</summary>
    InvalidArgument = Native.Status.InvalidArgument,

    /// <summary>The configuration document was refused; the running configuration stands.</summary>
    InvalidConfig = Native.Status.InvalidConfig,

    /// <summary>The library is of another generation than this assembly.</summary>
    AbiMismatch = Native.Status.AbiMismatch,

    /// <summary>A buffer was too small.</summary>
    BufferTooSmall = Native.Status.BufferTooSmall,

    /// <summary>The value is longer than <c>limits.max_value_bytes</c>, or than L1 can hold where there is no L2.</summary>
    ValueTooLarge = Native.Status.ValueTooLarge,

    /// <summary>The cache has been closed.</summary>
    InvalidHandle = Native.Status.InvalidHandle,

    /// <summary>The cache was closed while the call was under way.</summary>
    Closed = Native.Status.Closed,

    /// <summary>Memory, threads or handles ran out.</summary>
    OutOfMemory = Native.Status.OutOfMemory,

    /// <summary>L2 refused, reset, cannot be found or opened.</summary>
    L2Unreachable = Native.Status.L2Unreachable,

    /// <summary>L2 did not answer in time.</summary>
    L2Timeout = Native.Status.L2Timeout,

    /// <summary>L2 is loading, failing over or locked: worth another try.</summary>
    L2Busy = Native.Status.L2Busy,

    /// <summary>L2 turned us down (credentials, permissions, read-only): no use trying again.</summary>
    L2Denied = Native.Status.L2Denied,

    /// <summary>L2 gave an answer that the library does not understand.</summary>
    L2Protocol = Native.Status.L2Protocol,

    /// <summary>L2 was not tried: the circuit is open.</summary>
    L2Suspended = Native.Status.L2Suspended,

    /// <summary>L2 has no room.</summary>
    L2Full = Native.Status.L2Full,

    /// <summary>The entry is sealed under a key that is not in this ring.</summary>
    SealUnknownKey = Native.Status.SealUnknownKey,

    /// <summary>The sealed entry is damaged or truncated.</summary>
    SealBroken = Native.Status.SealBroken,

    /// <summary>The entry was sealed for another cache key or namespace, or its header was altered.</summary>
    SealWrongContext = Native.Status.SealWrongContext,

    /// <summary>The entry is sealed under a revoked key.</summary>
    SealRevokedKey = Native.Status.SealRevokedKey,

    /// <summary>The entry is not our envelope; the message says what it looks like.</summary>
    SealForeign = Native.Status.SealForeign,

    /// <summary>The entry was written by a newer version of the library.</summary>
    SealUnsupported = Native.Status.SealUnsupported,

    /// <summary>A defect in the library; the call was abandoned, the cache stays usable.</summary>
    Panic = Native.Status.Panic,
}
