namespace Tokencache;

/// <summary>What was asked of L2.</summary>
public enum TokenCacheOperation
{
    /// <summary>Nothing. The library does not say this.</summary>
    None = 0,

    /// <summary>A read.</summary>
    Get = Native.Operation.Get,

    /// <summary>A write.</summary>
    Set = Native.Operation.Set,

    /// <summary>A removal.</summary>
    Remove = Native.Operation.Remove,

    /// <summary>The renewal of a sliding entry.</summary>
    Touch = Native.Operation.Touch,

    /// <summary>Opening or restoring the link to L2.</summary>
    Connect = Native.Operation.Connect,
}
