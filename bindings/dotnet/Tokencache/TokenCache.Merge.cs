using System;

namespace Tokencache;

public sealed unsafe partial class TokenCache
{
    /// <summary>
    /// Stores an MSAL token cache that was changed, merged with what others have made of it meanwhile: tokens that others
    /// have added stay, the newer of two stays, and what was removed stays away unless somebody wrote it later. While L2
    /// is away it is kept with what it started from, and merged when L2 is back.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="basis">
    /// The value that the change started from, not yet disposed of; null when nothing was there. It tells what was removed
    /// from what was never seen.
    /// </param>
    /// <param name="value">What <c>SerializeMsalV3</c> made.</param>
    /// <param name="merged">What is stored, to dispose of; null where nothing of it was left to store.</param>
    /// <param name="options">How to store it.</param>
    /// <returns>Whether it was stored; false when others came between until the deadline, and nothing was written.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A time in <paramref name="options"/> is not above zero.</exception>
    /// <exception cref="TokenCacheException">
    /// The bytes, or those of <paramref name="basis"/>, are not an MSAL token cache; what lies there is none; they are
    /// longer than <c>limits.max_value_bytes</c>; or L2 failed, and the write could not be kept for later.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed, or the value disposed of.</exception>
    public bool TrySetMerged(
        string key,
        TokenValue? basis,
        ReadOnlySpan<byte> value,
        out TokenValue? merged,
        in SetOptions options = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return TrySetMerged(utf8.Span, basis, value, out merged, options);
    }

    /// <inheritdoc cref="TrySetMerged(string, TokenValue, ReadOnlySpan{byte}, out TokenValue, in SetOptions)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    /// <param name="basis">The value that the change started from; null when nothing was there.</param>
    /// <param name="value">What <c>SerializeMsalV3</c> made.</param>
    /// <param name="merged">What is stored, to dispose of; null where nothing of it was left to store.</param>
    /// <param name="options">How to store it.</param>
    public bool TrySetMerged(
        ReadOnlySpan<byte> utf8Key,
        TokenValue? basis,
        ReadOnlySpan<byte> value,
        out TokenValue? merged,
        in SetOptions options = default)
    {
        Native.SetOptions how = options.ToNative(0);
        IntPtr stored = IntPtr.Zero;
        Native.Status status;
        IntPtr startedFrom = basis?.Retain() ?? IntPtr.Zero;
        try
        {
            fixed (byte* name = utf8Key)
            fixed (byte* data = value)
            {
                status = Native.tc_set_merged(
                    _cache,
                    (IntPtr)name,
                    (UIntPtr)utf8Key.Length,
                    startedFrom,
                    (IntPtr)data,
                    (UIntPtr)value.Length,
                    (IntPtr)(&how),
                    null,
                    &stored);
            }
        }
        finally
        {
            Native.tc_value_release(startedFrom);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        merged = stored == IntPtr.Zero ? null : new TokenValue(stored, status == Native.Status.Degraded);
        return status != Native.Status.Conflict;
    }
}
