using System;
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Tokencache.Extensions.Caching;

namespace Tokencache.Benches;

/// <summary>The ways to a hit of L1 in the binding, and below it.</summary>
internal static unsafe class Ours
{
    public static TokenCache Open(Workload load, string? document = null)
    {
        TokenCache cache = TokenCache.Open(document ?? $$$"""
            {"version": 1, "l1": {"capacity_bytes": {{{(long)load.Stored.Length * 9000 + (256 << 20)}}}}, "logging": {"to": "none"}}
            """);
        for (int entry = 0; entry < load.Stored.Length; entry++)
        {
            cache.Set(load.Stored[entry], Workload.Value(entry));
        }
        return cache;
    }

    public readonly struct Peek(TokenCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            using TokenLease lease = cache.Peek(keys[entry]);
            ReadOnlySpan<byte> span = lease.Span;
            return span[0] + span[^1];
        }
    }

    public readonly struct PeekUtf8(TokenCache cache, byte[][] keys) : ISubject
    {
        public int Run(int entry)
        {
            using TokenLease lease = cache.Peek(keys[entry]);
            ReadOnlySpan<byte> span = lease.Span;
            return span[0] + span[^1];
        }
    }

    /// <summary>Which asks L2 as well where it must.</summary>
    public readonly struct Lease(TokenCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            using TokenLease lease = cache.GetLease(keys[entry]);
            ReadOnlySpan<byte> span = lease.Span;
            return span[0] + span[^1];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static IntPtr Taken(IntPtr cache, byte[] utf8)
    {
        IntPtr value;
        fixed (byte* key = utf8)
        {
            if (Native.tc_peek(cache, (IntPtr)key, (UIntPtr)utf8.Length, &value) != 0)
            {
                throw new InvalidOperationException("There is no entry.");
            }
        }
        return value;
    }

    /// <summary>The same two calls, as somebody would write them who trusts nobody.</summary>
    public readonly struct Raw(TokenCache cache, byte[][] keys) : ISubject
    {
        private readonly IntPtr _cache = cache.Handle;

        public int Run(int entry)
        {
            IntPtr value = Taken(_cache, keys[entry]);
            Native.Value* it = (Native.Value*)value;
            ReadOnlySpan<byte> span = new((void*)it->Data, (int)it->Len);
            int sum = span[0] + span[^1];
            Native.tc_value_release(value);
            return sum;
        }
    }

    /// <summary>The same, by somebody who gives back what he has taken whatever happens, as <c>using</c> does.</summary>
    public readonly struct RawInFinally(TokenCache cache, byte[][] keys) : ISubject
    {
        private readonly IntPtr _cache = cache.Handle;

        public int Run(int entry)
        {
            IntPtr value = Taken(_cache, keys[entry]);
            try
            {
                Native.Value* it = (Native.Value*)value;
                ReadOnlySpan<byte> span = new((void*)it->Data, (int)it->Len);
                return span[0] + span[^1];
            }
            finally
            {
                Native.tc_value_release(value);
            }
        }
    }

    /// <summary>What a call costs that does nothing.</summary>
    public readonly struct Empty : ISubject
    {
        public int Run(int entry)
        {
            Native.tc_value_release(IntPtr.Zero);
            return entry;
        }
    }

    public readonly struct Into(TokenCache cache, string[] keys, byte[] buffer) : ISubject
    {
        public int Run(int entry)
        {
            int length = cache.GetInto(keys[entry], buffer);
            return buffer[0] + buffer[length - 1];
        }
    }

    public readonly struct Writer(TokenCache cache, string[] keys, ArrayBufferWriter<byte> writer) : ISubject
    {
        public int Run(int entry)
        {
            writer.ResetWrittenCount();
            cache.TryGet(keys[entry], writer);
            ReadOnlySpan<byte> span = writer.WrittenSpan;
            return span[0] + span[^1];
        }
    }

    public readonly struct Get(TokencacheDistributedCache cache, string[] keys) : ISubject
    {
        public int Run(int entry)
        {
            byte[] value = cache.Get(keys[entry])!;
            return value[0] + value[^1];
        }
    }

    public readonly struct Set(TokenCache cache, string[] keys, byte[] value) : ISubject
    {
        public int Run(int entry)
        {
            cache.Set(keys[entry], value);
            return entry;
        }
    }

    /// <summary>The one call of a set, the same.</summary>
    public readonly struct RawSet(TokenCache cache, byte[][] keys, byte[] value) : ISubject
    {
        private readonly IntPtr _cache = cache.Handle;

        public int Run(int entry)
        {
            ulong version;
            fixed (byte* key = keys[entry], data = value)
            {
                Native.tc_set(_cache, (IntPtr)key, (UIntPtr)keys[entry].Length, (IntPtr)data, (UIntPtr)value.Length, IntPtr.Zero, &version);
            }
            return entry;
        }
    }
}
