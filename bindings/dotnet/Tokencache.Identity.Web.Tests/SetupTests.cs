using System;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Web.TokenCacheProviders;
using Tokencache.Extensions.Caching;
using Xunit;

namespace Tokencache.Identity.Web.Tests;

public class SetupTests
{
    [Fact]
    public void An_application_changes_one_line_and_drops_its_distributed_cache()
    {
        string[] documented = Body("Documented"), ours = Body("Ours");
        string[] added = [.. ours.Except(documented)];
        Assert.Equal([".AddTokencacheTokenCaches(builder.Configuration.GetSection(\"Tokencache\"));"], added);
        Assert.Contains(".AddDistributedTokenCaches();", documented.Except(ours));
        Assert.InRange(added.Length, 1, 3);
    }

    [Fact]
    public void What_it_gets_is_ours()
    {
        WebApplicationBuilder builder = Builder();
        Setups.Ours(builder);
        using IDisposable app = (IDisposable)builder.Build();
        IServiceProvider services = ((WebApplication)app).Services;
        Assert.IsType<TokencacheTokenCacheProvider>(services.GetRequiredService<IMsalTokenCacheProvider>());
        Assert.IsType<TokencacheDistributedCache>(services.GetRequiredService<IDistributedCache>());
    }

    [Fact]
    public void A_distributed_cache_for_other_things_stays_what_it_was()
    {
        WebApplicationBuilder builder = Builder();
        builder.Services.AddDistributedMemoryCache();
        Setups.Ours(builder);
        using IDisposable app = (IDisposable)builder.Build();
        IServiceProvider services = ((WebApplication)app).Services;
        Assert.IsType<TokencacheTokenCacheProvider>(services.GetRequiredService<IMsalTokenCacheProvider>());
        Assert.IsType<MemoryDistributedCache>(services.GetRequiredService<IDistributedCache>());
    }

    [Fact]
    public void A_distributed_cache_with_a_key_of_its_own_takes_the_place_of_no_other()
    {
        WebApplicationBuilder builder = Builder();
        builder.Services.AddDistributedMemoryCache();
        builder.Services.AddKeyedSingleton<IDistributedCache, MemoryDistributedCache>("sessions");
        Setups.Ours(builder);
        using IDisposable app = (IDisposable)builder.Build();
        IServiceProvider services = ((WebApplication)app).Services;
        Assert.IsType<MemoryDistributedCache>(services.GetRequiredService<IDistributedCache>());
        Assert.IsType<MemoryDistributedCache>(services.GetRequiredKeyedService<IDistributedCache>("sessions"));
    }

    private static WebApplicationBuilder Builder()
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Configuration["AzureAd:Instance"] = "https://login.microsoftonline.com/";
        builder.Configuration["AzureAd:ClientId"] = "c0ffee00-0000-4000-8000-0000000000c1";
        builder.Configuration["AzureAd:TenantId"] = "7e000000-0000-4000-8000-000000000001";
        builder.Configuration["Tokencache:version"] = "1";
        return builder;
    }

    private static string[] Body(string method, [CallerFilePath] string here = "")
    {
        string source = File.ReadAllText(Path.Combine(Path.GetDirectoryName(here)!, "Setups.cs"));
        string from = source[source.IndexOf($"void {method}(", StringComparison.Ordinal)..];
        string[] lines = [.. from.Split('\n').Select(line => line.Trim())];
        return [.. lines.Skip(2).TakeWhile(line => line.Length > 0 && line != "}")];
    }
}
