using System;
using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace Tokencache.Tests;

/// <summary>Protect on machine 1, unprotect on machine 2.</summary>
public sealed class SealTests
{
    private static readonly byte[] Key = RandomNumberGenerator.GetBytes(32);

    private static string Document(byte[] key) =>
        "{\"version\": 1, \"logging\": {\"to\": \"none\"}, \"encryption\": {\"algorithm\": \"aes-256-gcm\", \"keyring\": " +
        "{\"version\": 1, \"keys\": [{\"state\": \"active\", \"material\": \"" + Convert.ToBase64String(key) + "\"}]}}}";

    [Fact]
    public void WhatOneMachineProtectsAnotherWithTheSameRingOpens()
    {
        using TokenCache one = TokenCache.Open(Document(Key));
        using TokenCache two = TokenCache.Open(Document(Key));
        byte[] envelope = one.Protect("alice", "token"u8);
        Assert.Equal(5 + 128, envelope.Length);
        using TokenValue? opened = two.Unprotect("alice", envelope);
        Assert.Equal("token", Encoding.UTF8.GetString(opened!.ToArray()));
    }

    [Fact]
    public void AnotherKeyAndAnotherRingDoNotOpenIt()
    {
        using TokenCache one = TokenCache.Open(Document(Key));
        using TokenCache other = TokenCache.Open(Document(RandomNumberGenerator.GetBytes(32)));
        byte[] envelope = one.Protect("alice", "token"u8);
        TokenCacheException moved = Assert.Throws<TokenCacheException>(() => one.Unprotect("bob", envelope));
        Assert.Equal(TokenCacheStatus.SealWrongContext, moved.Status);
        TokenCacheException unknown = Assert.Throws<TokenCacheException>(() => other.Unprotect("alice", envelope));
        Assert.Equal(TokenCacheStatus.SealUnknownKey, unknown.Status);
        Assert.Contains("Keys differ between machines", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutARingNothingIsProtected()
    {
        using TokenCache cache = TokenCache.Open("{\"version\": 1}");
        TokenCacheException refused = Assert.Throws<TokenCacheException>(() => cache.Protect("alice", "token"u8));
        Assert.Equal(TokenCacheStatus.InvalidConfig, refused.Status);
    }
}
