// An orders API on two servers behind a dispatcher without affinity, and a made-up identity provider, in one process.
//
//     TOKENCACHE_LIBRARY=target/release/libtokencache.so dotnet run --project examples/dotnet/orders-api -- --demo
//
// One server alone, until its input ends, with settings in place of appsettings.json:
//
//     dotnet run --project examples/dotnet/orders-api -- --server NAME PROVIDER_ADDRESS SETTINGS.json
using System;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using OrdersApi;

if (args is ["--server", string name, string address, string settings])
{
    await using WebApplication alone = OrdersService.Build(name, new Uri(address), builder =>
    {
        builder.Configuration.Sources.Clear();
        builder.Configuration.AddJsonFile(settings);
    });
    await alone.StartAsync();
    Console.WriteLine(Only(alone));
    await Console.In.ReadToEndAsync();
    return;
}

await using IdentityProvider provider = await IdentityProvider.StartAsync();
await using WebApplication one = OrdersService.Build("server 1", provider.Address);
await using WebApplication two = OrdersService.Build("server 2", provider.Address);
await one.StartAsync();
await two.StartAsync();
await using Dispatcher dispatcher = await Dispatcher.StartAsync(Only(one), Only(two));

if (args is not ["--demo"])
{
    Console.WriteLine($"curl -X POST {provider.Address}sign-in/alice          # a token for alice");
    Console.WriteLine($"curl -H \"Authorization: Bearer $TOKEN\" {dispatcher.Address}orders");
    Console.WriteLine("Ctrl+C ends it.");
    await one.WaitForShutdownAsync();
    return;
}

using HttpClient browser = new() { BaseAddress = dispatcher.Address };
browser.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", provider.SignIn("alice"));
for (int request = 0; request < 4; request++)
{
    await Print("GET ", "/orders");
}
await Print("POST", "/orders/approve");
for (int request = 0; request < 4; request++)
{
    await Print("GET ", "/orders");
}
Console.WriteLine($"The identity provider was asked {provider.Issued["obo alice"]} times.");

async Task Print(string method, string path)
{
    using HttpRequestMessage request = new(new HttpMethod(method.Trim()), path);
    using HttpResponseMessage response = await browser.SendAsync(request);
    response.EnsureSuccessStatusCode();
    Answer answer = (await response.Content.ReadFromJsonAsync<Answer>())!;
    Console.WriteLine(
        $"{method} {path,-15} {answer.Server}  {answer.Token}  {(answer.Mfa ? "with MFA   " : "without MFA")}  from {answer.From}");
}

static Uri Only(WebApplication app) => new(System.Linq.Enumerable.Single(app.Urls));
