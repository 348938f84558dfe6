namespace Tokencache;

/// <summary>Which tier gave an answer.</summary>
public enum TokenCacheTier
{
    /// <summary>Neither: it is not an entry.</summary>
    None = Native.Tier.None,

    /// <summary>The memory of this process.</summary>
    L1 = Native.Tier.L1,

    /// <summary>The tier that processes share.</summary>
    L2 = Native.Tier.L2,
}
