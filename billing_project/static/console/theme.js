// htmx would write a style sheet into the page, which its policy forbids; nothing here shows its indicators.
htmx.config.includeIndicatorStyles = false;
