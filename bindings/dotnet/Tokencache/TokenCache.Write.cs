using System;

namespace Tokencache;

public sealed unsafe partial class TokenCache
{
    /// <summary>As an expected version: store only where no live entry exists.</summary>
    public const ulong VersionAbsent = Native.VersionAbsent;

    /// <summary>Stores a copy of the bytes in both tiers, over anything that is there. Allocates nothing.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The bytes; a null array is an empty value.</param>
    /// <param name="options">How to store them.</param>
    /// <returns>The version written, which is 0 when it had expired already, and whether it is owed to L2.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A time in <paramref name="options"/> is not above zero.</exception>
    /// <exception cref="TokenCacheException">
    /// The value is longer than <c>limits.max_value_bytes</c>; or L2 failed, and the write could not be kept for later.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public SetResult Set(string key, ReadOnlySpan<byte> value, in SetOptions options = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return Set(utf8.Span, value, options);
    }

    /// <inheritdoc cref="Set(string, ReadOnlySpan{byte}, in SetOptions)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    /// <param name="value">The bytes; a null array is an empty value.</param>
    /// <param name="options">How to store them.</param>
    public SetResult Set(ReadOnlySpan<byte> utf8Key, ReadOnlySpan<byte> value, in SetOptions options = default)
    {
        Native.Status status = Set(utf8Key, value, options.ToNative(0), out ulong version);
        return new(version, status);
    }

    /// <summary>
    /// Stores a copy of the bytes in both tiers if the entry is still the one that the caller has seen: compare and swap.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The bytes; a null array is an empty value.</param>
    /// <param name="expectedVersion">
    /// The version that must be there, or <see cref="VersionAbsent"/> to store only where no live entry exists.
    /// </param>
    /// <param name="version">The version written, when it was stored; else 0.</param>
    /// <param name="options">How to store them.</param>
    /// <returns>Whether it was stored; false when somebody was faster, and then nothing was written.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="expectedVersion"/> is 0, or a time in <paramref name="options"/> is not above zero.
    /// </exception>
    /// <exception cref="TokenCacheException">
    /// The value is longer than <c>limits.max_value_bytes</c>; or L2 failed, and the write could not be kept for later.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public bool TrySet(
        string key,
        ReadOnlySpan<byte> value,
        ulong expectedVersion,
        out ulong version,
        in SetOptions options = default)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return TrySet(utf8.Span, value, expectedVersion, out version, options);
    }

    /// <inheritdoc cref="TrySet(string, ReadOnlySpan{byte}, ulong, out ulong, in SetOptions)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    /// <param name="value">The bytes; a null array is an empty value.</param>
    /// <param name="expectedVersion">
    /// The version that must be there, or <see cref="VersionAbsent"/> to store only where no live entry exists.
    /// </param>
    /// <param name="version">The version written, when it was stored; else 0.</param>
    /// <param name="options">How to store them.</param>
    public bool TrySet(
        ReadOnlySpan<byte> utf8Key,
        ReadOnlySpan<byte> value,
        ulong expectedVersion,
        out ulong version,
        in SetOptions options = default)
    {
        Expected(expectedVersion);
        return Set(utf8Key, value, options.ToNative(expectedVersion), out version) != Native.Status.Conflict;
    }

    /// <summary>Removes an entry from both tiers. It need not exist.</summary>
    /// <param name="key">The key.</param>
    /// <returns>Whether it is gone from L2; false while that is owed, and then nobody finds it here any more.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">L2 failed, and the removal could not be kept for later.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public bool Remove(string key)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return Remove(utf8.Span);
    }

    /// <inheritdoc cref="Remove(string)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    public bool Remove(ReadOnlySpan<byte> utf8Key)
    {
        Native.Status status;
        fixed (byte* key = utf8Key)
        {
            status = Native.tc_remove(_cache, (IntPtr)key, (UIntPtr)utf8Key.Length);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        return status == Native.Status.Ok;
    }

    /// <summary>Renews a sliding entry without reading it.</summary>
    /// <param name="key">The key.</param>
    /// <returns>Whether there is such an entry; true also when it does not slide.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">L2 could not be asked.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public bool Touch(string key)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return Touch(utf8.Span);
    }

    /// <inheritdoc cref="Touch(string)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    public bool Touch(ReadOnlySpan<byte> utf8Key)
    {
        Native.Status status;
        fixed (byte* key = utf8Key)
        {
            status = Native.tc_touch(_cache, (IntPtr)key, (UIntPtr)utf8Key.Length);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        return status != Native.Status.NotFound;
    }

    private static void Expected(ulong expectedVersion)
    {
        // Zero means "over anything" in C. As an expectation it would quietly store over what it should protect.
        if (expectedVersion == 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(expectedVersion),
                "0 is the version of no entry; pass VersionAbsent to store only where there is none.");
        }
    }

    private Native.Status Set(
        ReadOnlySpan<byte> utf8Key,
        ReadOnlySpan<byte> value,
        Native.SetOptions options,
        out ulong version)
    {
        ulong written = 0;
        Native.Status status;
        fixed (byte* key = utf8Key)
        fixed (byte* data = value)
        {
            status = Native.tc_set(
                _cache,
                (IntPtr)key,
                (UIntPtr)utf8Key.Length,
                (IntPtr)data,
                (UIntPtr)value.Length,
                (IntPtr)(&options),
                &written);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        version = written;
        return status;
    }
}
