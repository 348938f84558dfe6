using System;
using System.Globalization;
using System.Text;
using System.Threading.Tasks;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web;
using Tokencache;
using Tokencache.Testing;
// MSAL has a class of that name too.
using TokenCache = Tokencache.TokenCache;

// A server with MSAL.NET over Tokencache. Does what each line of its input says, and answers it with a line;
// bindings/python/tests/msal_family.py does the same with MSAL Python:
//
// sign-in USER SCOPE     somebody comes back from the provider with a code     -> the access token
// silent ACCOUNT SCOPE   a request of that home account                       -> cache or provider, and the access token
// has ACCOUNT SCOPE      whether a token for it is there, as this process sees it -> yes or no
// add NAME COUNT         so many tokens of the app itself, each for a resource of its own -> done
if (args is not [string document, string clientId, string tenantId, string port])
{
    Console.Error.WriteLine("usage: msal DOCUMENT CLIENT_ID TENANT_ID PORT");
    return 2;
}
using TokenCache cache = TokenCache.Open(document);
using LoopbackClients clients = new(new Uri($"http://127.0.0.1:{port}"));
Console.WriteLine("ready");
while (Console.ReadLine() is string line)
{
    Console.WriteLine(await Answer(line.Split(' ')));
}
return 0;

async Task<string> Answer(string[] words)
{
    try
    {
        return words switch
        {
            ["sign-in", string user, string scope] => await SignIn(user, scope),
            ["silent", string account, string scope] => await Silent(account, scope),
            ["has", string account, string scope] => Has(account, scope) ? "yes" : "no",
            ["add", string name, string count] => await Add(name, int.Parse(count, CultureInfo.InvariantCulture)),
            _ => "! no such command",
        };
    }
#pragma warning disable CA1031 // Whatever it throws is an answer.
    catch (Exception failure)
#pragma warning restore CA1031
    {
        return $"! {failure.ToString().ReplaceLineEndings(" ")}";
    }
}

async Task<string> SignIn(string user, string scope) =>
    (await Application().AcquireTokenByAuthorizationCode([scope], user).ExecuteAsync()).AccessToken;

async Task<string> Silent(string account, string scope)
{
    IConfidentialClientApplication application = Application();
    IAccount? found = await application.GetAccountAsync(account);
    if (found is null)
    {
        return "signed-out";
    }
    AuthenticationResult result = await application.AcquireTokenSilent([scope], found).ExecuteAsync();
    bool isCached = result.AuthenticationResultMetadata.TokenSource == TokenSource.Cache;
    return $"{(isCached ? "cache" : "provider")} {result.AccessToken}";
}

bool Has(string account, string scope)
{
    using TokenValue? blob = cache.Get(account);
    return blob is not null && Encoding.UTF8.GetString(blob.Span).Contains($"\"{scope}\"", StringComparison.Ordinal);
}

async Task<string> Add(string name, int count)
{
    IConfidentialClientApplication application = Application();
    for (int number = 0; number < count; number++)
    {
        await application.AcquireTokenForClient([$"{name}.{number}/.default"]).ExecuteAsync();
    }
    return "done";
}

// One for each request, as a web application makes them.
IConfidentialClientApplication Application() => ConfidentialClientApplicationBuilder
    .Create(clientId)
    .WithClientSecret("made up")
    .WithAuthority($"https://login.microsoftonline.com/{tenantId}")
    .WithRedirectUri("https://orders.example/signed-in")
    .WithHttpClientFactory(clients)
    .Build()
    .AddTokencacheTokenCache(cache);
