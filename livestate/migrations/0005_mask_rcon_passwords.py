from django.db import migrations
from django.db.models import Q

from left4me.core import secrets
from left4me.core.lines import Masker


def mask_passwords(apps, schema_editor):
    """Mask the RCON passwords in what games printed before it was masked as it came."""
    Order = apps.get_model('livestate', 'Order')
    StateChange = apps.get_model('servers', 'StateChange')
    for server in apps.get_model('servers', 'Server').objects.all().iterator():
        passwords = []
        for sealed in {server.sealed_rcon_password, server.applied_sealed_rcon_password}:
            try:
                passwords.append(secrets.unseal(sealed))
            except secrets.Unreadable:
                continue
        mask = Masker(passwords)
        for password in filter(None, passwords):
            orders = Order.objects.filter(Q(output__contains=password) | Q(note__contains=password), server=server)
            for order in orders.iterator():
                order.output, order.note = mask(order.output), mask(order.note)[:500]
                order.save(update_fields=['output', 'note'])
        for change in StateChange.objects.filter(server=server).exclude(last_lines=[]).iterator():
            masked = [mask(line) for line in change.last_lines]
            if masked != change.last_lines:
                change.last_lines = masked
                change.save(update_fields=['last_lines'])
        if mask(server.last_error) != server.last_error:
            server.last_error = mask(server.last_error)
            server.save(update_fields=['last_error'])


class Migration(migrations.Migration):

    dependencies = [
        ('livestate', '0004_figures'),
        ('servers', '0008_pasted_lines_and_ports'),
    ]

    operations = [migrations.RunPython(mask_passwords, migrations.RunPython.noop)]
