using Xunit;

namespace Tokencache.Testing;

/// <summary>A test that needs redis-server.</summary>
public sealed class RedisFactAttribute : FactAttribute
{
    public RedisFactAttribute() => Skip = RedisServer.IsInstalled ? null : "redis-server is not installed";
}

/// <summary>A test of many rows that needs redis-server.</summary>
public sealed class RedisTheoryAttribute : TheoryAttribute
{
    public RedisTheoryAttribute() => Skip = RedisServer.IsInstalled ? null : "redis-server is not installed";
}
