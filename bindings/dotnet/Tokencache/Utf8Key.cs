using System;
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
#if NET
using System.Text.Unicode;
#endif

namespace Tokencache;

/// <summary>A key's UTF-8, in the caller's stack where it fits, else in a rented array.</summary>
internal ref struct Utf8Key
{
    /// <summary>What a caller lends from its stack: enough for 85 characters, which take up to three bytes each.</summary>
    public const int StackBytes = 256;

    private const string HalfAPair =
        "The key holds half of a surrogate pair, which has no UTF-8. Pass a key of arbitrary bytes as bytes.";

    private byte[]? _rented;

    public Utf8Key(string key, Span<byte> stack)
    {
        Throw.IfNull(key, nameof(key));
        int most = key.Length * 3;
        Span<byte> room = most <= stack.Length ? stack : _rented = ArrayPool<byte>.Shared.Rent(most);
        Span = room.Slice(0, Encode(key, room));
    }

    public ReadOnlySpan<byte> Span { get; }

    public void Dispose()
    {
        if (_rented is { } rented)
        {
            _rented = null;
            Return(rented);
        }
    }

    // In a method of its own: the runtime copies a small `finally` to where the `try` ends, and calls a large one.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Return(byte[] rented) => ArrayPool<byte>.Shared.Return(rented);

    // Replacing what cannot be encoded, as Encoding.UTF8 does, would let two keys be one.
#if NET
    private static int Encode(string key, Span<byte> room) =>
        Utf8.FromUtf16(key, room, out _, out int written, replaceInvalidSequences: false) == OperationStatus.Done
            ? written
            : throw new ArgumentException(HalfAPair, nameof(key));
#else
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    private static unsafe int Encode(string key, Span<byte> room)
    {
        fixed (char* characters = key)
        fixed (byte* bytes = room)
        {
            try
            {
                return s_strict.GetBytes(characters, key.Length, bytes, room.Length);
            }
            catch (EncoderFallbackException)
            {
                throw new ArgumentException(HalfAPair, nameof(key));
            }
        }
    }
#endif
}
