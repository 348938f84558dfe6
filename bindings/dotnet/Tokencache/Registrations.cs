using System;

namespace Tokencache;

/// <summary>The application's retry handler, as the library's callback finds it.</summary>
internal sealed class RetryRegistration(RetryHandler handler, CallbackFailures failures)
{
    public Native.Decision Decide(in Native.Failure failure, ref uint delayMs)
    {
        RetryDecision decision;
        try
        {
            decision = handler(RetryContext.From(failure, delayMs));
        }
        catch (Exception reason)
        {
            failures.Report(handler, reason);
            return Native.Decision.Default;
        }
        if (decision.DelayMs is uint chosen)
        {
            delayMs = chosen;
        }
        return decision.Kind;
    }
}

/// <summary>The application's log handler, as the library's callback finds it.</summary>
internal sealed class LogRegistration(LogHandler handler, CallbackFailures failures)
{
    public void Write(Native.Level level, string target, string message)
    {
        try
        {
            handler((TokenCacheLogLevel)level, target, message);
        }
        catch (Exception reason)
        {
            failures.Report(handler, reason);
        }
    }
}
