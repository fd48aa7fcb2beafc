"""The texts that messages have when nobody writes others: Alertmanager's names, said in Jinja.

Whoever fills in `slack.default.title` in a file of templates gets what Alertmanager shows there.
"""

_SHARED = """
{%- define "__alertmanager" %}Alertmanager{% enddefine -%}
{%- define "__alertmanagerURL" %}{{ ExternalURL }}/#/alerts?receiver={{ Receiver|urlquery }}{% enddefine -%}
{%- define "__description" %}{% enddefine -%}

{%- define "__subject" -%}
[{{ Status|toUpper }}{% if Status == "firing" %}:{{ NumFiring }}{% endif %}]
{{- " " ~ GroupLabels.SortedPairs.Values|join(" ") ~ " " }}
{%- if CommonLabels|length > GroupLabels|length -%}
({{ CommonLabels.Remove(GroupLabels.Names).Values|join(" ") }})
{%- endif %}
{%- enddefine -%}

{%- define "__text_alert_list" %}{% for alert in dot %}Labels:
{% for pair in alert.Labels.SortedPairs %} - {{ pair.Name }} = {{ pair.Value }}
{% endfor %}Annotations:
{% for pair in alert.Annotations.SortedPairs %} - {{ pair.Name }} = {{ pair.Value }}
{% endfor %}Source: {{ alert.GeneratorURL }}
{% endfor %}{% enddefine -%}

{%- define "__text_alert_list_markdown" %}{% for alert in dot %}
Labels:
{% for pair in alert.Labels.SortedPairs %}  - {{ pair.Name }} = {{ pair.Value }}
{% endfor %}
Annotations:
{% for pair in alert.Annotations.SortedPairs %}  - {{ pair.Name }} = {{ pair.Value }}
{% endfor %}
Source: {{ alert.GeneratorURL }}
{% endfor %}{% enddefine -%}

{%- define "__alerts" %}{% if Alerts.Firing %}
Alerts Firing:
{{ template("__text_alert_list", Alerts.Firing) }}
{% endif %}{% if Alerts.Resolved %}
Alerts Resolved:
{{ template("__text_alert_list", Alerts.Resolved) }}
{% endif %}{% enddefine -%}

{%- define "__alerts_markdown" %}{% if Alerts.Firing %}
# Alerts Firing:
{{ template("__text_alert_list_markdown", Alerts.Firing) }}
{% endif %}{% if Alerts.Resolved %}
# Alerts Resolved:
{{ template("__text_alert_list_markdown", Alerts.Resolved) }}
{% endif %}{% enddefine -%}

{%- define "__annotated_alerts" -%}
{{ CommonAnnotations.SortedPairs.Values|join(" ") }}{{ template("__alerts") }}
{%- enddefine -%}
"""

_OURS = """
{%- define "muster.default.alert_title" -%}
{%- set said = dot.Annotations -%}
{{ said.summary or said.message or said.description or dot.Labels.alertname }}
{%- enddefine -%}

{%- define "muster.default.markdown_alert" %}
**{% if dot.Status == "firing" %}🔥{% else %}✅{% endif %} {{ template("muster.default.alert_title", dot) }}**
{% if dot.Annotations.summary and dot.Annotations.description %}
{{ dot.Annotations.description }}
{% endif %}
{% for pair in dot.Labels.Remove(CommonLabels.Names).SortedPairs -%}
- {{ pair.Name }}: {{ pair.Value }}
{% endfor -%}
- since: {{ dot.StartsAt.Format("2006-01-02 15:04:05 MST") }}
{%- if dot.Status == "resolved" %}, until {{ dot.EndsAt.Format("2006-01-02 15:04:05 MST") }}{% endif %}
{% if dot.Annotations.runbook_url %}- [runbook]({{ dot.Annotations.runbook_url|safeLink }})
{% endif %}{% if dot.GeneratorURL %}- [source]({{ dot.GeneratorURL|safeLink }})
{% endif %}{% enddefine -%}

{%- define "muster.default.markdown_body" -%}
{% for pair in CommonLabels.SortedPairs -%}
- {{ pair.Name }}: {{ pair.Value }}
{% endfor -%}
{% for alert in Alerts.Firing %}{{ template("muster.default.markdown_alert", alert) }}{% endfor -%}
{% for alert in Alerts.Resolved %}{{ template("muster.default.markdown_alert", alert) }}{% endfor -%}
{% enddefine -%}

{%- define "muster.default.title" %}{{ template("__subject") }}{% enddefine -%}

{%- define "muster.default.markdown" -%}
### {{ template("__subject") }}

{{ template("muster.default.markdown_body") }}
{%- enddefine -%}

{%- define "muster.default.text_alert" %}
{{ dot.Status|toUpper }}: {{ template("muster.default.alert_title", dot) }}
{% for pair in dot.Labels.Remove(CommonLabels.Names).SortedPairs %}  {{ pair.Name }}: {{ pair.Value }}
{% endfor %}  since: {{ dot.StartsAt.Format("2006-01-02 15:04:05 MST") }}
{% enddefine -%}

{%- define "muster.default.text" -%}
{{ template("__subject") }}
{{ template("muster.default.text_body") }}
{%- enddefine -%}

{%- define "muster.default.text_body" -%}
{% for pair in CommonLabels.SortedPairs %}  {{ pair.Name }}: {{ pair.Value }}
{% endfor %}
{%- for alert in Alerts.Firing %}{{ template("muster.default.text_alert", alert) }}{% endfor -%}
{%- for alert in Alerts.Resolved %}{{ template("muster.default.text_alert", alert) }}{% endfor -%}
{% enddefine -%}
"""

_SLACK = """
{%- define "slack.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "slack.default.username" %}{{ template("__alertmanager") }}{% enddefine -%}
{%- define "slack.default.fallback" -%}
{{ template("slack.default.title") }} | {{ template("slack.default.titlelink") }}
{%- enddefine -%}
{%- define "slack.default.callbackid" %}{% enddefine -%}
{%- define "slack.default.pretext" %}{% enddefine -%}
{%- define "slack.default.titlelink" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "slack.default.iconemoji" %}{% enddefine -%}
{%- define "slack.default.iconurl" %}{% enddefine -%}
{%- define "slack.default.text" %}{% enddefine -%}
{%- define "slack.default.footer" %}{% enddefine -%}
{%- define "slack.default.color" %}{% if Status == "firing" %}danger{% else %}good{% endif %}{% enddefine -%}
"""

_EMAIL = """
{%- define "email.default.subject" %}{{ template("__subject") }}{% enddefine -%}

{%- define "email.default.html_alert" -%}
<tr><td style="padding:8px 20px;border-top:1px solid #ddd">
<p><strong>{{ template("muster.default.alert_title", dot) }}</strong></p>
<p><strong>Labels</strong><br>
{% for pair in dot.Labels.SortedPairs %}{{ pair.Name }} = {{ pair.Value }}<br>
{% endfor %}</p>
{% if dot.Annotations %}<p><strong>Annotations</strong><br>
{% for pair in dot.Annotations.SortedPairs %}{{ pair.Name }} = {{ pair.Value }}<br>
{% endfor %}</p>{% endif %}
<p>since {{ dot.StartsAt.Format("2006-01-02 15:04:05 MST") }}
{%- if dot.Status == "resolved" %}, until {{ dot.EndsAt.Format("2006-01-02 15:04:05 MST") }}{% endif %}</p>
{% if dot.GeneratorURL %}<p><a href="{{ dot.GeneratorURL|safeLink }}">Source</a></p>{% endif %}
</td></tr>
{% enddefine -%}

{%- define "email.default.html_alerts" -%}
{% if dot[1] %}<tr><td style="padding:12px 20px"><strong>[{{ dot[1]|length }}] {{ dot[0] }}</strong></td></tr>
{% for alert in dot[1] %}{{ template("email.default.html_alert", alert) }}{% endfor %}{% endif %}
{%- enddefine -%}

{%- define "email.default.html" -%}
<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{ template("__subject") }}</title></head>
<body style="margin:0;background:#f6f6f6;font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#333">
<table style="max-width:640px;margin:20px auto;background:#fff;border:1px solid #ddd;border-collapse:collapse;
width:100%">
<tr><td style="padding:20px;color:#fff;
background:{% if Status == "firing" %}#c0392b{% else %}#27803b{% endif %}">
{{ Alerts|length + TruncatedAlerts }} alert{% if Alerts|length + TruncatedAlerts > 1 %}s{% endif %}
{%- if GroupLabels %} for {{ GroupLabels }}{% endif %}
</td></tr>
<tr><td style="padding:12px 20px"><a href="{{ ExternalURL|safeLink }}">View</a></td></tr>
{{ template("email.default.html_alerts", ("Firing", Alerts.Firing)) }}
{{ template("email.default.html_alerts", ("Resolved", Alerts.Resolved)) }}
</table>
</body></html>
{% enddefine -%}
"""

_VENDORS = """
{%- define "pagerduty.default.description" %}{{ template("__subject") }}{% enddefine -%}
{%- define "pagerduty.default.client" %}{{ template("__alertmanager") }}{% enddefine -%}
{%- define "pagerduty.default.clientURL" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "pagerduty.default.instances" %}{{ template("__text_alert_list", dot) }}{% enddefine -%}
{%- define "opsgenie.default.message" %}{{ template("__subject") }}{% enddefine -%}
{%- define "opsgenie.default.description" %}{{ template("__annotated_alerts") }}{% enddefine -%}
{%- define "opsgenie.default.source" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "wechat.default.message" -%}
{{ template("__subject") }}
{{ template("__annotated_alerts") }}
AlertmanagerUrl:
{{ template("__alertmanagerURL") }}
{%- enddefine -%}
{%- define "wechat.default.to_user" %}{% enddefine -%}
{%- define "wechat.default.to_party" %}{% enddefine -%}
{%- define "wechat.default.to_tag" %}{% enddefine -%}
{%- define "wechat.default.agent_id" %}{% enddefine -%}
{%- define "victorops.default.state_message" %}{{ template("__annotated_alerts") }}{% enddefine -%}
{%- define "victorops.default.entity_display_name" %}{{ template("__subject") }}{% enddefine -%}
{%- define "victorops.default.monitoring_tool" %}{{ template("__alertmanager") }}{% enddefine -%}
{%- define "pushover.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "pushover.default.message" %}{{ template("__annotated_alerts") }}{% enddefine -%}
{%- define "pushover.default.url" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "telegram.default.message" %}{{ template("__alerts") }}{% enddefine -%}
{%- define "discord.default.content" %}{% enddefine -%}
{%- define "discord.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "discord.default.message" %}{{ template("__alerts") }}{% enddefine -%}
{%- define "webex.default.message" %}{{ template("__annotated_alerts") }}{% enddefine -%}
{%- define "msteams.default.summary" %}{{ template("__subject") }}{% enddefine -%}
{%- define "msteams.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "msteams.default.text" %}{{ template("__alerts_markdown") }}{% enddefine -%}
{%- define "msteamsv2.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "msteamsv2.default.text" %}{{ template("__alerts_markdown") }}{% enddefine -%}
{%- define "rocketchat.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "rocketchat.default.alias" %}{{ template("__alertmanager") }}{% enddefine -%}
{%- define "rocketchat.default.titlelink" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "rocketchat.default.emoji" %}{% enddefine -%}
{%- define "rocketchat.default.iconurl" %}{% enddefine -%}
{%- define "rocketchat.default.text" %}{% enddefine -%}
{%- define "mattermost.default.color" %}{{ template("slack.default.color") }}{% enddefine -%}
{%- define "mattermost.default.username" %}{{ template("__alertmanager") }}{% enddefine -%}
{%- define "mattermost.default.title" %}{{ template("__subject") }}{% enddefine -%}
{%- define "mattermost.default.titlelink" %}{{ template("__alertmanagerURL") }}{% enddefine -%}
{%- define "mattermost.default.fallback" -%}
{{ template("mattermost.default.title") }} | {{ template("mattermost.default.titlelink") }}
{%- enddefine -%}
{%- define "mattermost.default.text" %}{{ template("__alerts_markdown") }}{% enddefine -%}
"""

DEFAULTS = _SHARED + _OURS + _SLACK + _EMAIL + _VENDORS
