#if !NETSTANDARD_LIBRARY
using System;
using System.Reflection;
using Xunit;

namespace Tokencache.Tests;

public class LibraryTests
{
    private static readonly Assembly s_assembly = typeof(TokenCache).Assembly;

    [Fact]
    public void The_version_of_the_library_is_said() => Assert.Matches(@"^\d+\.\d+\.\d+", TokenCache.LibraryVersion);

    [Fact]
    public void A_chosen_library_that_cannot_be_loaded_is_named()
    {
        DllNotFoundException missing = Assert.Throws<DllNotFoundException>(
            () => Library.Find("/nowhere/libtokencache.so", ["c"], s_assembly, null));
        Assert.Equal(
            "TOKENCACHE_LIBRARY is \"/nowhere/libtokencache.so\", which cannot be loaded.", missing.Message);
    }

    [Fact]
    public void A_library_that_is_nowhere_is_missed_in_one_sentence_with_the_way_out()
    {
        DllNotFoundException missing = Assert.Throws<DllNotFoundException>(
            () => Library.Find(null, ["tokencache-that-nobody-has"], s_assembly, null));
        Assert.Contains("libtokencache.so", missing.Message, StringComparison.Ordinal);
        Assert.Contains("TOKENCACHE_LIBRARY", missing.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_later_name_is_tried_when_the_first_is_not_there() =>
        Assert.NotEqual(IntPtr.Zero, Library.Find(null, ["tokencache-that-nobody-has", "libc.so.6"], s_assembly, null));

    // Never opened through the package, which always gives its own generation.
    [Fact]
    public unsafe void Another_generation_is_refused_when_a_cache_is_opened()
    {
        Library.Load();
        IntPtr cache = IntPtr.Zero;
        Native.Status status = Native.tc_open(Native.AbiVersion + 1, IntPtr.Zero, UIntPtr.Zero, &cache);
        Assert.Equal(Native.Status.AbiMismatch, status);
        TokenCacheException refused = Assert.IsType<TokenCacheException>(Failures.Last(status));
        Assert.Equal(TokenCacheStatus.AbiMismatch, refused.Status);
        Assert.NotEmpty(refused.Message);
    }
}
#endif
