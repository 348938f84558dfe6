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

    /// <summary>The largest <c>limits.max_key_bytes</c>; a text of more characters has more bytes.</summary>
    private const int MostBytes = 65_536;

    private const string HalfAPair =
        "The key holds half of a surrogate pair, which has no UTF-8. Pass a key of arbitrary bytes as bytes.";

    private byte[]? _rented;

    public Utf8Key(string key, Span<byte> stack)
    {
        Throw.IfNull(key, nameof(key));
        Span<byte> room = key.Length * 3L <= stack.Length ? stack : _rented = Rent(key.Length);
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

    /// <summary>Room for so many characters, unless no key has that many: the pool would keep it for ever.</summary>
    private static byte[] Rent(int characters) => characters <= MostBytes
        ? ArrayPool<byte>.Shared.Rent(characters * 3)
        : throw Failures.From(
            Native.Status.InvalidArgument, $"The key is {characters} characters long; at most {MostBytes} bytes are possible.");

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
