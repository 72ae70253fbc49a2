from django.db import migrations

STARTERS = [
    {
        "name": "Vanilla co-op",
        "description": "Stock campaigns for up to four friends who connect by address.",
        "arguments": "+map c1m1_hotel\n+maxplayers 4",
        "config": "\n".join(
            [
                "// Open to direct connections, not only to lobbies.",
                "sv_allow_lobby_connect_only 0",
                "mp_gamemode coop",
                "z_difficulty Normal",
                "sv_region 255",
                "sv_consistency 1",
                "sv_voiceenable 1",
                "sv_alltalk 0",
            ]
        ),
    },
    {
        "name": "Versus",
        "description": "Four against four on the stock campaigns.",
        "arguments": '+map "c5m1_waterfront versus"\n+maxplayers 8',
        "config": "\n".join(
            [
                "sv_allow_lobby_connect_only 0",
                "mp_gamemode versus",
                "sv_region 255",
                "sv_consistency 1",
                "sv_voiceenable 1",
                "sv_alltalk 0",
            ]
        ),
    },
    {
        "name": "Competitive sketch",
        "description": (
            "Rates and rules as used by leagues. A match server also needs an overlay with SourceMod "
            "and a competitive configuration."
        ),
        "arguments": '+map "c2m1_highway versus"\n+maxplayers 8\n-tickrate 60',
        "config": "\n".join(
            [
                "sv_allow_lobby_connect_only 0",
                "mp_gamemode versus",
                "sv_pure 2",
                "sv_consistency 1",
                "sv_alltalk 0",
                "sv_pausable 1",
                "sv_minrate 60000",
                "sv_maxrate 60000",
                "sv_mincmdrate 60",
                "sv_maxcmdrate 60",
                "sv_minupdaterate 60",
                "sv_maxupdaterate 60",
                "sv_client_min_interp_ratio -1",
                "sv_client_max_interp_ratio 2",
            ]
        ),
    },
]


def offer_starters(apps, schema_editor):
    starter = apps.get_model("servers", "StarterBlueprint")
    for fields in STARTERS:
        starter.objects.get_or_create(name=fields["name"], defaults=fields)


class Migration(migrations.Migration):
    dependencies = [("servers", "0002_default_host")]
    operations = [migrations.RunPython(offer_starters, migrations.RunPython.noop)]
