from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_user_name_letters")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(blank=True, editable=False, max_length=64, verbose_name="time zone"),
        ),
    ]
